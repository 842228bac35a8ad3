package redistest

// Proxy is coming.
type Proxy struct{}

func (p *Proxy) Addr() string  { return "" }
func (p *Proxy) suspend()      {}
func (p *Proxy) resume() error { return nil }
func (p *Proxy) Close()        {}
