package awswaf

import "time"

// SetCallTimeout shortens the patience with one call.
func SetCallTimeout(f *Firewall, d time.Duration) { f.timeout = d }

// Test access to what is not exported.
var (
	SendBody         = sendBody
	MapError         = mapError
	Describe         = describe
	ParseDescription = parseDescription
)
