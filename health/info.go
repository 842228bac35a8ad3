package health

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// fields are INFO's or CLUSTER INFO's lines, name to value.
type fields map[string]string

// parseFields reads "name:value" lines. What is no such line is left out, so
// that a server that says more, or less, does no harm; of a name that comes
// twice the first counts, so that nothing that follows can change it.
func parseFields(text string) fields {
	f := fields{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if _, twice := f[name]; !twice {
			f[name] = value
		}
	}
	return f
}

// num returns a field as a whole number; 0 where it is absent or none.
func (f fields) num(name string) int64 {
	n, err := strconv.ParseInt(f[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// count returns a field that cannot be negative.
func (f fields) count(name string) int64 { return max(f.num(name), 0) }

// has reports whether a field has a value.
func (f fields) has(name, value string) bool { return f[name] == value }

// kind returns the server's kind and its version. Valkey calls itself Redis
// 7.2.4 too, for programs that only know Redis.
func (f fields) kind() (kind, version string) {
	if v := f["valkey_version"]; v != "" {
		return "valkey", v
	}
	if v := f["redis_version"]; v != "" {
		return "redis", v
	}
	return "", ""
}

// expires returns how many keys have a TTL, over all databases.
func (f fields) expires() int64 {
	var sum int64
	for name, value := range f {
		db, isDB := strings.CutPrefix(name, "db")
		if _, err := strconv.ParseUint(db, 10, 32); !isDB || err != nil {
			continue
		}
		for part := range strings.SplitSeq(value, ",") {
			if text, ok := strings.CutPrefix(part, "expires="); ok {
				if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && sum <= math.MaxInt64-n {
					sum += n
				}
			}
		}
	}
	return sum
}

// humanBytes writes a number of bytes as Redis does in used_memory_human.
func humanBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.2f%c", v, units[i])
}
