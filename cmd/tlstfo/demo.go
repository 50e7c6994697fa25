package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tlstfo/tlstfo/internal/netlab"
	"github.com/tlstfo/tlstfo/internal/waterfall"
)

const demoHelp = `usage: tlstfo demo [flags]

Shows what tlstfo saves: the same request with net/http and over tlstfo, at
first contact and again, drawn packet by packet. It needs nothing installed, no
privileges and no network: client, server and the wire between them are its
own, in network namespaces that end with it (Linux). Each packet that is drawn
was logged by that wire; what is in it was read from its TLS records, decrypted
with the connection's key log. Where the system has no such namespaces, the
demonstration runs over loopback, through a relay that takes as long as the
wire would, and says so.

  -rtt D          the round-trip time of the wire, 1ms to 500ms (40ms)
  -fault NAME     what the wire does wrong:
%s
  -svg FILE       write the picture to an SVG file too
  -log FILE       write the packets and the key logs to a file too, as JSON
  -width N        draw for so many columns (those of the terminal)
  -color WHEN     auto: if this is a terminal, TERM is not dumb and NO_COLOR not set (default);
                  always; never
  -ascii          draw with ASCII characters only (default if TERM is dumb or the locale is not UTF-8)
  -wire WHERE     auto: a network of namespaces, or else loopback (default);
                  lab: namespaces, or fail; loopback

An arrow is what left together. Acknowledgements without data are not drawn,
nor what comes after the response.

The exit code is 0 if every request got a response, 1 if not, 2 if the command
line is wrong.
`

// demoFaultNames are the faults of the wire that a demonstration can show.
var demoFaultNames = []struct{ name, summary string }{
	{netlab.DropSYNData, "a SYN with data vanishes"},
	{netlab.DropTFO, "a SYN with the TCP Fast Open option vanishes"},
	{netlab.StripTFO, "that option is taken out of SYN and SYN-ACK"},
	{netlab.StripPayload, "the data is taken out of a SYN"},
	{netlab.ResetSYNData, "a SYN with data is answered by a reset"},
	{netlab.ResetTFO, "a SYN with the TCP Fast Open option likewise"},
	{netlab.DropSYNACK, "the first SYN-ACK vanishes"},
	{netlab.BlackHole, "after a SYN with data everything vanishes"},
	{netlab.OneByteLess, "all of a SYN's data but a byte is acknowledged"},
	{netlab.DuplicateSYNData, "a SYN with data arrives twice"},
}

// demoFault is the fault of that name, as strong as a demonstration wants it.
func demoFault(name string, rtt time.Duration) netlab.Fault {
	f := netlab.Fault{Name: name, Delay: rtt / 4}
	if name == netlab.DropSYNACK {
		f.Times = 1
	}
	return f
}

// demoOptions are the flags of demo.
type demoOptions struct {
	rtt   time.Duration
	fault string
	svg   string
	log   string
	width int
	color string
	ascii bool
	wire  string
}

// perRequest bounds a request, so that all of it ends in time.
func (o *demoOptions) perRequest() time.Duration {
	return max(2500*time.Millisecond, 5*o.rtt)
}

func (o *demoOptions) parse(args []string) error {
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.DurationVar(&o.rtt, "rtt", 40*time.Millisecond, "")
	set.StringVar(&o.fault, "fault", "", "")
	set.StringVar(&o.svg, "svg", "", "")
	set.StringVar(&o.log, "log", "", "")
	set.IntVar(&o.width, "width", 0, "")
	set.StringVar(&o.color, "color", "auto", "")
	set.BoolVar(&o.ascii, "ascii", false, "")
	set.StringVar(&o.wire, "wire", "auto", "")
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return usageError(err.Error())
	}
	known := func(name string) bool {
		for _, f := range demoFaultNames {
			if f.name == name {
				return true
			}
		}
		return name == ""
	}
	switch {
	case set.NArg() > 0:
		return usageError(fmt.Sprintf("there are no arguments, but %q", set.Arg(0)))
	case o.rtt < time.Millisecond || o.rtt > 500*time.Millisecond:
		return usageError("-rtt is 1ms to 500ms")
	case !known(o.fault):
		return usageError(fmt.Sprintf("-fault %q is none that there is", o.fault))
	case !slices.Contains([]string{"auto", "always", "never"}, o.color):
		return usageError("-color is auto, always or never")
	case !slices.Contains([]string{"auto", "lab", "loopback"}, o.wire):
		return usageError("-wire is auto, lab or loopback")
	case o.wire == "loopback" && o.fault != "":
		return usageError("-fault needs a wire, and loopback is none")
	case o.width < 0 || o.width > 0 && o.width < waterfall.MinWidth:
		return usageError(fmt.Sprintf("-width is at least %d", waterfall.MinWidth))
	}
	return nil
}

// demo is the subcommand.
func demo(ctx context.Context, args []string, std streams) error {
	var o demoOptions
	if err := o.parse(args); errors.Is(err, flag.ErrHelp) {
		var faults strings.Builder
		for _, f := range demoFaultNames {
			fmt.Fprintf(&faults, "                    %-19s %s\n", f.name, f.summary)
		}
		fmt.Fprintf(std.out, demoHelp, strings.TrimSuffix(faults.String(), "\n"))
		return nil
	} else if err != nil {
		return err
	}
	const most = 15 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("the demonstration did not end within %v", most))
	defer cancel()

	picture, err := o.record(ctx, std)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	term := terminalOf(std.out)
	style := waterfall.Style{
		Width: cmp.Or(o.width, term.width),
		Color: o.color == "always" || o.color == "auto" && term.color,
		ASCII: o.ascii || term.ascii,
	}
	if _, err := io.WriteString(std.out, picture.Text(style)); err != nil {
		return err
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, []byte(picture.SVG()), 0o644); err != nil {
			return err
		}
	}
	if o.log != "" {
		if err := writeLog(o.log, picture); err != nil {
			return err
		}
	}
	for _, w := range picture.Waterfalls {
		if w.Failure != "" {
			return fmt.Errorf("%s, %s: no response: %s", w.Title, w.Subtitle, w.Failure)
		}
	}
	return nil
}

// writeLog writes what the picture was made from: a list of
// waterfall.Exchange.
func writeLog(file string, p *waterfall.Picture) error {
	var all []waterfall.Exchange
	for _, w := range p.Waterfalls {
		all = append(all, w.Exchange)
	}
	b, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o600) // it has keys
}

// scene is where the demonstration takes place.
type scene interface {
	ask(ctx context.Context, netHTTP bool, timeout time.Duration) (waterfall.Exchange, error)
	close() error
}

// open makes the scene, and says what is to be known of it.
func (o *demoOptions) open(ctx context.Context) (s scene, caption string, err error) {
	caption = fmt.Sprintf("Two hosts, a wire with a round-trip time of %v", o.rtt)
	if o.fault != "" {
		caption += ", and " + o.fault + " on it"
	}
	if o.wire != "loopback" {
		s, err = newLabScene(ctx, o)
		var forbidden *netlab.ForbiddenError
		if o.wire == "lab" || o.fault != "" || err == nil || !errors.As(err, &forbidden) && !errors.Is(err, errors.ErrUnsupported) {
			return s, caption + ".", err
		}
		caption = "There can be no network of namespaces here (" + message(err) + "). "
	} else {
		caption = ""
	}
	caption += fmt.Sprintf("This is loopback, through a relay that takes %v there and back. It does not see TCP's own packets: "+
		"those are drawn as a wire would have carried them. Only what really came with a SYN is drawn in one.", o.rtt)
	s, err = newLoopbackScene(ctx, o)
	return s, caption, err
}

// record makes the requests. Where the machine was too busy for the wire to
// keep its round-trip time, it starts over, a few times and if time allows;
// then the picture says so.
func (o *demoOptions) record(ctx context.Context, std streams) (*waterfall.Picture, error) {
	const most, enough = 3, 4 * time.Second
	progress := newProgress(std.err, terminalOf(std.err))
	defer progress.done()
	start := time.Now()
	for try := 1; ; try++ {
		p, err := o.recordOnce(ctx, progress)
		if err != nil {
			return nil, err
		}
		var late time.Duration
		for _, w := range p.Waterfalls {
			late = max(late, w.Late())
		}
		if late <= o.rtt/10 {
			return p, nil
		}
		if try == most || time.Since(start) > enough {
			p.Caption += fmt.Sprintf(" This machine is busy: packets were up to %v late on the wire.", late.Round(time.Millisecond))
			return p, nil
		}
	}
}

// recordOnce makes the requests in a new scene.
func (o *demoOptions) recordOnce(ctx context.Context, progress *progress) (p *waterfall.Picture, err error) {
	scene, caption, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scene.close()) }()
	p = &waterfall.Picture{Title: "A GET request over TLS 1.3", Caption: caption}
	for _, again := range []bool{false, true} {
		for _, netHTTP := range []bool{true, false} {
			title, subtitle := "tlstfo", "first contact"
			if netHTTP {
				title = "net/http"
			}
			if again {
				subtitle = "again, a new connection"
			}
			progress.say(title + ", " + subtitle)
			x, err := scene.ask(ctx, netHTTP, o.perRequest())
			if err != nil {
				return nil, err
			}
			x.Title, x.Subtitle = title, subtitle
			p.Waterfalls = append(p.Waterfalls, waterfall.New(x))
		}
	}
	return p, nil
}
