package conn

import (
	"strings"

	"github.com/redis/rueidis"
)

// Slot returns the cluster slot of a key, 0 to 16383: CRC16 (XMODEM) of the
// key's hash tag, or of the whole key where it has none.
//
// Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
func Slot(key string) int {
	if i := strings.IndexByte(key, '{'); i >= 0 {
		if j := strings.IndexByte(key[i+1:], '}'); j > 0 {
			key = key[i+1 : i+1+j]
		}
	}
	var crc uint16
	for i := range len(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return int(crc & 16383)
}

// crcTable holds the CRC of each byte for the polynomial 0x1021.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		t[i] = crc
	}
	return t
}()

// SameSlot reports whether the keys are of one cluster slot, so that one
// command or script may name them all. It is true for no keys or one.
func SameSlot(keys ...string) bool {
	for i := 1; i < len(keys); i++ {
		if Slot(keys[i]) != Slot(keys[0]) {
			return false
		}
	}
	return true
}

// anySlot is what rueidis gives commands without a key in mode cluster.
const anySlot = 1 << 14

// mixesSlots reports whether commands without a key stand beside commands of
// more than one slot, which rueidis answers with a panic.
func mixesSlots(cmds []rueidis.Completed) bool {
	keyless, first := false, uint16(anySlot)
	several := false
	for i := range cmds {
		switch s := cmds[i].Slot(); {
		case s == anySlot:
			keyless = true
		case first == anySlot:
			first = s
		case s != first:
			several = true
		}
	}
	return keyless && several
}
