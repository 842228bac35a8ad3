package conn

import (
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// stateful are the commands that change the state of a connection. All callers
// share it, so after one of these they would get each other's answers, or
// another database's.
var stateful = map[string]bool{
	"MULTI": true, "EXEC": true, "DISCARD": true, "WATCH": true, "UNWATCH": true, "SELECT": true, "AUTH": true, "HELLO": true,
	"RESET": true, "QUIT": true, "MONITOR": true, "SYNC": true, "PSYNC": true, "READONLY": true, "READWRITE": true, "ASKING": true,
	"SUBSCRIBE": true, "UNSUBSCRIBE": true, "PSUBSCRIBE": true, "PUNSUBSCRIBE": true, "SSUBSCRIBE": true, "SUNSUBSCRIBE": true,
}

// checkShared refuses a command that must not be sent on the shared connection.
// Reads cannot be one, which spares them the look.
func checkShared(cmd rueidis.Completed) error {
	if cmd.IsReadOnly() && !cmd.NoReply() { // rueidis takes SUBSCRIBE for a read
		return nil
	}
	words := cmd.Commands()
	op := words[0]
	switch {
	case len(op) < 4 || len(op) > 12, !stateful[op] && op != "CLIENT" && !stateful[strings.ToUpper(op)]:
		return nil
	case len(words) == 1 && strings.EqualFold(op, "HELLO"):
		return nil // it only asks
	case op == "CLIENT":
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
