package blocklist

import (
	"errors"
	"fmt"
	"time"
)

// ApprovalTTL is how long an approval waits to be used: whoever gives it has just
// looked at what was held, and an hour later that may be something else.
const ApprovalTTL = time.Hour

// Approval is an operator's word that one run of a firewall target may add and
// release more than a run may by itself. Its JSON form is stable.
type Approval struct {
	Add     int       `json:"add"`
	Release int       `json:"release"`
	By      string    `json:"by,omitempty"` // who gave it, for people
	At      time.Time `json:"at"`           // when
}

// Check tells what makes an Approval unfit to be stored.
func (a Approval) Check() error {
	switch {
	case a.Add < 0 || a.Release < 0:
		return errors.New("approval: add and release: want 0 or more")
	case a.Add == 0 && a.Release == 0:
		return errors.New("approval: of nothing: want add or release above 0")
	case a.At.Unix() <= 0:
		return errors.New("approval: at: no time")
	case word(a.By, MaxReason) != a.By:
		return fmt.Errorf("approval: by: want at most %d printable bytes", MaxReason)
	}
	return nil
}
