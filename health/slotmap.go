package health

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// slotCount is how many slots a cluster has.
const slotCount = 16384

// mapNode is a node as the slot map, CLUSTER NODES, tells of it.
type mapNode struct {
	addrs   []string // by which the client may know it: IP address, host name
	primary bool
	failed  bool // the cluster has agreed on that
	slots   int
}

// parseNodes reads the reply of CLUSTER NODES, a line a node:
//
//	<id> <ip>:<port>@<bus port>[,<host name>] <flags> <primary> <ping> <pong> <epoch> <link> <slot> …
//
// where a slot is a number, a range, or a migration in brackets. CLUSTER SHARDS
// is easier to read, but does not say which of two primaries of a shard owns
// its slots after a failover; this does. A line that is none is left out.
func parseNodes(text, from string) []mapNode {
	var nodes []mapNode
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		flags := strings.Split(f[2], ",")
		has := func(flag string) bool { return slices.Contains(flags, flag) }
		if has("handshake") || has("noaddr") {
			continue // on its way in or out: nobody can ask it
		}
		n := mapNode{primary: has("master"), failed: has("fail"), addrs: nodeAddrs(f[1], from)}
		if len(n.addrs) == 0 {
			continue
		}
		for _, slot := range f[8:] {
			n.slots = min(n.slots+slotRange(slot), slotCount)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// nodeAddrs returns the addresses in "ip:port@bus,host name,…". A node that does
// not know its own IP address leaves it out: it is the one that was asked.
func nodeAddrs(field, from string) []string {
	addr, names, _ := strings.Cut(field, "@")
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return nil
	}
	host, port := strings.Trim(addr[:i], "[]"), addr[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil
	}
	if host == "" {
		host, _, _ = net.SplitHostPort(from)
	}
	addrs := []string{net.JoinHostPort(host, port)}
	if _, names, ok := strings.Cut(names, ","); ok {
		name, _, _ := strings.Cut(names, ",")
		if name != "" && !strings.Contains(name, "=") {
			addrs = append(addrs, net.JoinHostPort(name, port))
		}
	}
	return addrs
}

// slotRange counts the slots in "5" or "0-5460"; a migration is none.
func slotRange(text string) int {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || first > last || last >= slotCount {
		return 0
	}
	return int(last-first) + 1
}
