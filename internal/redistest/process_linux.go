package redistest

import "syscall"

// ownSession keeps a child out of reach of the terminal's signals.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// diesWithParent does so too, and has the kernel kill the child when the thread
// that started it ends.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
