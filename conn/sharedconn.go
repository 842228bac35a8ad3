package conn

import (
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// isStateful reports whether a command, in upper case, changes the state of a
// connection. All callers share it, so after one of these they would get each
// other's answers, or another database's. A switch, as every write is looked at.
func isStateful(op string) bool {
	switch op {
	case "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "SELECT", "AUTH", "HELLO", "RESET", "QUIT", "MONITOR", "SYNC", "PSYNC",
		"READONLY", "READWRITE", "ASKING", "CLIENT",
		"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE":
		return true
	}
	return false
}

// checkShared refuses a command that must not be sent on the shared connection.
// Reads cannot be one, which spares them the look.
func checkShared(cmd rueidis.Completed) error {
	if cmd.IsReadOnly() && !cmd.NoReply() { // rueidis takes SUBSCRIBE for a read
		return nil
	}
	words := cmd.Commands()
	op := words[0]
	for i := range len(op) {
		if op[i] >= 'a' { // the builder writes upper case; Arbitrary takes any
			op = strings.ToUpper(op)
			break
		}
	}
	if !isStateful(op) {
		return nil
	}
	if len(words) == 1 && op == "HELLO" {
		return nil // it only asks
	}
	if op == "CLIENT" {
		if len(words) < 2 {
			return nil
		}
		switch strings.ToUpper(words[1]) {
		case "REPLY", "TRACKING", "CACHING":
			op += " " + words[1]
		default:
			return nil
		}
	}
	return &ArgumentError{Name: "command", Problem: fmt.Sprintf(
		"%s changes the connection that all callers share: use a dedicated one (Raw, then Dedicated), or for a transaction DoMulti with MULTI first and EXEC last", truncate(op))}
}

// checkSharedMulti is checkShared for a pipeline, which is sent in one piece: it
// may be a transaction, MULTI first and EXEC last.
func checkSharedMulti(cmds []rueidis.Completed) error {
	last := len(cmds) - 1
	if last > 0 && cmds[0].Commands()[0] == "MULTI" && cmds[last].Commands()[0] == "EXEC" {
		cmds = cmds[1:last]
	}
	for _, cmd := range cmds {
		if err := checkShared(cmd); err != nil {
			return err
		}
	}
	return nil
}
