//go:build !linux

package main

import "errors"

func forbidNamespaces() error { return errors.ErrUnsupported }
