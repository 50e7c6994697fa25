package utlshello

import (
	"io"
	"slices"

	utls "github.com/refraction-networking/utls"
)

const (
	extPadding   = 21
	extEarlyData = 42
	extCookie    = 44
)

// addPlaces marks where early_data and a cookie shall stand, which utls does not have: where the client
// that is imitated has them.
func addPlaces(list []utls.TLSExtension, rand io.Reader) ([]utls.TLSExtension, error) {
	var err error
	if !hasGeneric(list, extEarlyData) {
		if list, err = addPlace(list, extEarlyData, rand); err != nil {
			return nil, err
		}
	}
	if !hasGeneric(list, extCookie) {
		list, err = addPlace(list, extCookie, rand)
	}
	return list, err
}

// addPlace adds one of the two.
func addPlace(list []utls.TLSExtension, id uint16, rand io.Reader) ([]utls.TLSExtension, error) {
	first, last := greaseRange(list)
	at := last
	switch {
	case first < last && !boringOrder(list):
		// Chrome shuffles all that stands between two of GREASE.
		random, err := below(last-first+1, rand)
		if err != nil {
			return nil, err
		}
		at = first + random
	case first == last && nssOrder(list) && id == extEarlyData:
		at = after[*utls.KeyShareExtension](list, last)
	case first == last && nssOrder(list):
		at = after[*utls.SignatureAlgorithmsExtension](list, last)
	case id == extEarlyData:
		at = after[*utls.PSKKeyExchangeModesExtension](list, last) // BoringSSL's order
	default:
		at = after[*utls.SupportedVersionsExtension](list, last)
	}
	return slices.Insert(list, at, utls.TLSExtension(&utls.GenericExtension{Id: id})), nil
}

// greaseRange returns the range behind the first GREASE extension and before the second. Without two it is the end, where padding and
// what else must stand last begins.
func greaseRange(list []utls.TLSExtension) (first, last int) {
	end := len(list)
	for end > 0 && isGeneric(list[end-1], extPadding) {
		end--
	}
	first, last = end, end
	for i, e := range list {
		if _, ok := e.(*utls.UtlsGREASEExtension); !ok {
			continue
		}
		if first == end {
			first = i + 1
		} else {
			last = i
		}
	}
	return first, last
}

// nssOrder tells whether a hello has the order of NSS, which is Firefox's: renegotiation_info stands behind extended_master_secret, and
// supported_versions behind key_share, or behind the early_data that was put between them.
func nssOrder(list []utls.TLSExtension) bool {
	list = slices.DeleteFunc(slices.Clone(list), func(e utls.TLSExtension) bool { return isGeneric(e, extEarlyData) })
	return after[*utls.ExtendedMasterSecretExtension](list, -1) == after[*utls.RenegotiationInfoExtension](list, -2)-1 &&
		after[*utls.KeyShareExtension](list, -1) == after[*utls.SupportedVersionsExtension](list, -2)-1
}

// boringOrder tells whether a hello with GREASE has BoringSSL's order, which Chrome had up to version 105.
func boringOrder(list []utls.TLSExtension) bool {
	before := -1
	for _, e := range list {
		rank := boringRank(e)
		if rank < 0 {
			continue
		}
		if rank < before {
			return false
		}
		before = rank
	}
	return true
}

// boringRank is the place of an extension in BoringSSL's order, or -1 for one that says nothing about it.
func boringRank(e utls.TLSExtension) int {
	switch e.(type) {
	case *utls.SNIExtension:
		return 0
	case *utls.ExtendedMasterSecretExtension:
		return 1
	case *utls.RenegotiationInfoExtension:
		return 2
	case *utls.SupportedCurvesExtension:
		return 3
	case *utls.SupportedPointsExtension:
		return 4
	case *utls.SessionTicketExtension:
		return 5
	case *utls.ALPNExtension:
		return 6
	case *utls.StatusRequestExtension:
		return 7
	case *utls.SignatureAlgorithmsExtension:
		return 8
	case *utls.SCTExtension:
		return 9
	case *utls.KeyShareExtension:
		return 10
	case *utls.PSKKeyExchangeModesExtension:
		return 11
	case *utls.SupportedVersionsExtension:
		return 12
	case *utls.UtlsCompressCertExtension:
		return 13
	}
	return -1
}

// after returns the index behind the extension of a type, or otherwise if there is none.
func after[T utls.TLSExtension](list []utls.TLSExtension, otherwise int) int {
	for i, e := range list {
		if _, ok := e.(T); ok {
			return i + 1
		}
	}
	return otherwise
}

func hasGeneric(list []utls.TLSExtension, id uint16) bool {
	return slices.ContainsFunc(list, func(e utls.TLSExtension) bool { return isGeneric(e, id) })
}

func isGeneric(e utls.TLSExtension, id uint16) bool {
	g, ok := e.(*utls.GenericExtension)
	return ok && g.Id == id
}

// below draws a number below n, which is at most 256 here: the bias does not show.
func below(n int, rand io.Reader) (int, error) {
	var b [4]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return 0, err
	}
	return int((uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])) * uint64(n) >> 32), nil
}
