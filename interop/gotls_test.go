package interop

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/tfo"
)

// A goServer is how a server of crypto/tls and net/http is configured. It knows all groups, and gives no tickets: none of its tickets
// would allow early data over TCP anyway.
type goServer struct {
	Cert, Key string
	Groups    []tls.CurveID
}

// goRecord is less than the first record of its responses, and more than any of its handshakes.
const goRecord = 2000

// goServerMain serves.
func goServerMain(args []string) error {
	var g goServer
	if err := json.Unmarshal([]byte(args[0]), &g); err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(g.Cert, g.Key)
	if err != nil {
		return err
	}
	l, err := tfo.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	srv := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{cert}, CurvePreferences: g.Groups, SessionTicketsDisabled: true,
			NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true,
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }),
	}
	return srv.ServeTLS(l, "", "")
}

func startGoServer(t *testing.T, lab *netlab.Lab, groups ...tls.CurveID) *credentials {
	t.Helper()
	cred := newCredentials(t)
	arg, err := json.Marshal(goServer{cred.cert, cred.key, groups})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, lab, func(ctx context.Context) *exec.Cmd { return lab.Server.Func(ctx, "gotls", string(arg)) })
	return cred
}
