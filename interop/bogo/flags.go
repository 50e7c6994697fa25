package main

import (
	encoding "encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// optionSets are the three sets of options that a test has: of its first
// connection, of those that resume, and of what follows when the server rejects
// the early data of one of them.
type optionSets struct {
	initial, resume, retry options
}

// errUnimplemented is a flag that the shim does not have.
var errUnimplemented = errors.New("not implemented")

// parseFlags reads the command line. Values may be empty, begin with a dash
// or be any bytes.
func parseFlags(args []string) (*optionSets, error) {
	sets := new(optionSets)
	all := []*options{&sets.initial, &sets.resume, &sets.retry}
	for _, o := range all {
		o.ShimInitialWrite, o.RepeatShimInitialWrite = "hello", 1
	}
	for len(args) > 0 {
		name, targets := target(strings.TrimLeft(args[0], "-"), all)
		args = args[1:]
		used := 0
		for _, o := range targets {
			var err error
			if used, err = o.set(name, args); err != nil {
				return nil, fmt.Errorf("flag -%s: %w", name, err)
			}
		}
		args = args[used:]
	}
	for _, o := range all {
		if o.MaxVersion != 0 && o.MaxVersion < 0x0304 {
			return nil, fmt.Errorf("flag -max-version %#x: %w", o.MaxVersion, errUnimplemented)
		}
	}
	return sets, nil
}

// target strips the prefix that aims a flag at some of the sets.
func target(name string, all []*options) (string, []*options) {
	if rest, ok := strings.CutPrefix(name, "on-initial-"); ok {
		return rest, all[:1]
	}
	if rest, ok := strings.CutPrefix(name, "on-resume-"); ok {
		return rest, all[1:2]
	}
	if rest, ok := strings.CutPrefix(name, "on-retry-"); ok {
		return rest, all[2:]
	}
	return name, all
}

// set sets the flag and returns how many of args were its value.
func (o *options) set(name string, args []string) (used int, err error) {
	if name == "new-x509-credential" {
		o.credentials = append(o.credentials, credential{})
		return 0, nil
	}
	if n := len(o.credentials); n > 0 {
		if field := fieldOf(reflect.ValueOf(&o.credentials[n-1]).Elem(), name); field.IsValid() {
			return setField(field, args)
		}
	}
	field := fieldOf(reflect.ValueOf(o).Elem(), name)
	if !field.IsValid() {
		return 0, errUnimplemented
	}
	return setField(field, args)
}

// fieldOf returns the field for a flag, or the zero Value.
func fieldOf(v reflect.Value, name string) reflect.Value {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Tag.Get("flag") == name {
			return v.FieldByIndex(f.Index)
		}
	}
	return reflect.Value{}
}

// setField sets a field from the value that args begin with.
func setField(field reflect.Value, args []string) (used int, err error) {
	if field.Kind() == reflect.Bool {
		field.SetBool(true)
		return 0, nil
	}
	if len(args) == 0 {
		return 0, errors.New("the value is missing")
	}
	switch value := args[0]; field.Type() {
	case reflect.TypeFor[string]():
		field.SetString(value)
	case reflect.TypeFor[[]string]():
		field.Set(reflect.Append(field, reflect.ValueOf(value)))
	case reflect.TypeFor[base64]():
		var data []byte
		data, err = encoding.StdEncoding.DecodeString(value)
		field.SetBytes(data)
	case reflect.TypeFor[[]uint16](), reflect.TypeFor[[]int]():
		one := reflect.New(field.Type().Elem()).Elem()
		err = setNumber(one, value)
		field.Set(reflect.Append(field, one))
	default:
		err = setNumber(field, value)
	}
	return 1, err
}

func setNumber(field reflect.Value, value string) error {
	if field.CanInt() {
		n, err := strconv.ParseInt(value, 10, 64)
		field.SetInt(n)
		return err
	}
	n, err := strconv.ParseUint(value, 10, field.Type().Bits())
	field.SetUint(n)
	return err
}
