package redistest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// slots returns the slots that a server says it owns.
func (g *Group) slots(ctx context.Context, s *Server) ([]int, error) {
	n, err := s.myself(ctx)
	return n.slots, err
}

// SlotOwner returns the server that owns a slot now: of those that say so, the
// one with the latest epoch, as a primary that was cut off believes in itself.
func (g *Group) SlotOwner(ctx context.Context, slot int) (*Server, error) {
	if g.topology != TopologyCluster {
		return nil, fmt.Errorf("redistest: slots are a cluster's; this is a %s topology", g.topology)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	type claim struct {
		s     *Server
		epoch int
	}
	var mu sync.Mutex
	var claims []claim
	err := each(live(g.Servers), func(s *Server) error {
		n, err := s.myself(ctx)
		if err == nil && n.is("master") && slices.Contains(n.slots, slot) {
			mu.Lock()
			defer mu.Unlock()
			claims = append(claims, claim{s, n.epoch})
		}
		return err
	})
	if len(claims) == 0 {
		return nil, errors.Join(fmt.Errorf("redistest: nobody owns slot %d", slot), err)
	}
	return slices.MaxFunc(claims, func(a, b claim) int { return cmp.Compare(a.epoch, b.epoch) }).s, nil
}

// MigrateSlots moves the slots first to last, both included, to another primary
// the way redis-cli does, key by key while clients go on, which see MOVED and
// ASK. It returns when all primaries know.
func (g *Group) MigrateSlots(ctx context.Context, first, last int, to *Server) error {
	target, err := to.myself(ctx)
	if err != nil {
		return err
	}
	for slot := first; slot <= last; slot++ {
		if err := g.migrateSlot(ctx, slot, to, target.id); err != nil {
			return fmt.Errorf("redistest: migrate slot %d to %s: %w", slot, to.name, err)
		}
	}
	return nil
}

func (g *Group) migrateSlot(ctx context.Context, slot int, to *Server, toID string) error {
	from, err := g.SlotOwner(ctx, slot)
	if err != nil || from == to {
		return err
	}
	source, err := from.myself(ctx)
	if err != nil {
		return err
	}
	if _, err := to.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.id); err != nil {
		return err
	}
	if _, err := from.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(to.port.addr())
	if err != nil {
		return err
	}
	for {
		reply, err := from.Do(ctx, "CLUSTER", "GETKEYSINSLOT", slot, 100)
		if err != nil {
			return err
		}
		keys, _ := reply.([]any)
		if len(keys) == 0 {
			break
		}
		migrate := append([]any{"MIGRATE", host, port, "", 0, 5000, "AUTH2", controlUser, controlPassword(), "KEYS"}, keys...)
		if _, err := from.Do(ctx, migrate...); err != nil {
			return err
		}
	}
	// The new owner first: were it last, the old one would send clients to it
	// while it still sent them back.
	order := []*Server{to, from}
	for _, s := range live(g.Servers) {
		if n, err := s.myself(ctx); err != nil {
			return err
		} else if s != to && s != from && n.is("master") {
			order = append(order, s)
		}
	}
	for _, s := range order {
		if _, err := s.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID); err != nil {
			return err
		}
	}
	return nil
}

// Slot returns the cluster slot of a key: the CRC16 (XMODEM) of its hash tag, or
// of all of it.
func Slot(key string) int {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if length := strings.IndexByte(key[open+1:], '}'); length > 0 {
			key = key[open+1 : open+1+length]
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slotCount
}
