//go:build !linux

package redistest

import "syscall"

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// diesWithParent cannot be had outside Linux: a killed test leaves its local
// server behind.
func diesWithParent() *syscall.SysProcAttr { return ownSession() }
