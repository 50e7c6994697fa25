//go:build !nethttpomithttp2

package tfohttp

const omitHTTP2 = false
