package tfo

import (
	"net"
	"time"
)

// watch keeps the time of a race while the race's goroutine connects the only attempt that there is. Mostly that attempt ends before another is due, and all was
// done on one goroutine, which takes markedly less CPU time. When another is due, the race goes on on a goroutine of its own, and the one that connects has no more to do
// with it than any other attempt.
type watch struct {
	race   *race
	timer  *time.Timer // nil: nothing is due
	result chan result
}

type result struct {
	conn *net.TCPConn
	err  error
}

// connectHere connects t on this goroutine. It returns t's end, unless the race went on elsewhere: then it returns the watch that knows how that
// ends, and the race must not be touched here any more.
func (r *race) connectHere(t *attempt) (e event, elsewhere *watch) {
	w := &watch{race: r}
	t.watch, r.starting = w, nil
	w.set()
	e = event{t: t, err: errExited}
	defer func() {
		if w.stop() {
			return
		}
		exited := e.err == errExited
		if exited {
			t.fatal = errExited
		}
		r.events <- e
		if elsewhere = w; exited { // nobody will ask for the outcome
			if conn, _ := w.outcome(); conn != nil {
				conn.Close()
			}
		}
	}()
	e.conn, e.err = r.system.connect(t.lane.ctx, t)
	return e, nil
}

// set makes the race go on elsewhere when another attempt is due.
func (w *watch) set() {
	next := w.race.next()
	switch {
	case next.IsZero():
		w.timer = nil
	case w.timer == nil:
		w.result = make(chan result, 1)
		w.timer = time.AfterFunc(time.Until(next), w.goOn)
	default:
		w.timer.Reset(time.Until(next))
	}
}

// stop says whether the race is still here, and keeps it here.
func (w *watch) stop() bool { return w.timer == nil || w.timer.Stop() }

// synSent tells the race, if it is here, that t's SYN is out.
func (w *watch) synSent(t *attempt) bool {
	if !w.stop() {
		return false
	}
	w.race.expectAnswer(t)
	w.set()
	return true
}

// goOn is the race, elsewhere.
func (w *watch) goOn() {
	res := result{err: errExited}
	defer func() {
		w.race.cancel()
		w.result <- res
	}()
	res.conn, res.err = w.race.run()
}

// outcome waits for the end of the race.
func (w *watch) outcome() (*net.TCPConn, error) {
	res := <-w.result
	return res.conn, res.err
}
