package interop

import (
	"container/list"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/tlstfo/tlstfo"
)

// held returns the length of every map, list and slice (not of numbers) that this module's types hold, from what p points at on, by its place. Of those in one map or
// slice the longest counts. Nothing else may use them meanwhile.
func held(p any) map[string]int {
	w := walk{held: make(map[string]int), seen: make(map[walked]bool)}
	v := reflect.ValueOf(p)
	w.value(v.Type().Elem().Name(), v)
	return w.held
}

type walk struct {
	held map[string]int
	seen map[walked]bool
}

type walked struct {
	typ  reflect.Type
	addr unsafe.Pointer
}

func (w walk) note(place string, n int) { w.held[place] = max(w.held[place], n) }

func (w walk) value(place string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		at := walked{v.Type(), v.UnsafePointer()}
		if !v.IsNil() && !w.seen[at] {
			w.seen[at] = true
			w.value(place, v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			w.value(place, v.Elem())
		}
	case reflect.Map:
		w.note(place, v.Len())
		for _, key := range v.MapKeys() {
			w.value(place+"[]", v.MapIndex(key))
		}
	case reflect.Array, reflect.Slice:
		if kind := v.Type().Elem().Kind(); kind >= reflect.Bool && kind <= reflect.Complex128 {
			return
		}
		w.note(place, v.Len())
		for i := range v.Len() {
			w.value(place+"[]", v.Index(i))
		}
	case reflect.Struct:
		w.structure(place, v)
	}
}

func (w walk) structure(place string, v reflect.Value) {
	switch v.Type() { // values of both are never copied, so that they have an address
	case reflect.TypeFor[list.List]():
		l := (*list.List)(v.Addr().UnsafePointer())
		w.note(place, l.Len())
		for e := l.Front(); e != nil; e = e.Next() {
			w.value(place+"[]", reflect.ValueOf(e.Value))
		}
	case reflect.TypeFor[sync.Map]():
		n := 0
		(*sync.Map)(v.Addr().UnsafePointer()).Range(func(any, any) bool { n++; return true })
		w.note(place, n)
	}
	module := strings.TrimSuffix(reflect.TypeFor[walk]().PkgPath(), "/interop")
	if !strings.HasPrefix(v.Type().PkgPath(), module) {
		return // not ours to answer for
	}
	for i := range v.NumField() {
		w.value(place+"."+v.Type().Field(i).Name, v.Field(i))
	}
}

// mostHeld names what holds the most.
func mostHeld(held map[string]int) (place string, n int) {
	for _, p := range slices.Sorted(maps.Keys(held)) {
		if held[p] > n {
			place, n = p, held[p]
		}
	}
	return place, n
}

func TestHeld(t *testing.T) {
	type inner struct {
		list   list.List
		sync   sync.Map
		list2  []string
		number []byte
	}
	type outer struct {
		grows  map[string]*inner
		cycle  *outer
		hidden any
	}
	o := &outer{grows: map[string]*inner{"a": {list2: make([]string, 3)}, "b": {number: make([]byte, 100)}}, hidden: &inner{}}
	o.cycle = o
	o.grows["a"].list.PushBack(1)
	for i := range 5 {
		o.grows["b"].sync.Store(i, i)
	}
	got := held(o)
	for place, want := range map[string]int{"outer.grows": 2, "outer.grows[].list": 1, "outer.grows[].sync": 5, "outer.grows[].list2": 3, "outer.hidden.list": 0} {
		if got[place] != want {
			t.Errorf("%s: %d, want %d, of %v", place, got[place], want, got)
		}
	}
	if place, n := mostHeld(got); place != "outer.grows[].sync" || n != 5 {
		t.Errorf("%s, %d", place, n)
	}

	// Of a Dialer it finds what is known to grow with the servers.
	got = held(&tlstfo.Dialer{Sessions: tlstfo.NewSessionCache(0)})
	for _, place := range []string{"Dialer.Sessions.keys", "Dialer.hosts.byKey", "Dialer.ownFastOpen.entries", "Dialer.lingers.conns", "Dialer.certificates.certs"} {
		if _, ok := got[place]; !ok {
			t.Errorf("no %s in %v", place, got)
		}
	}
}
