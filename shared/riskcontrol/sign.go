package riskcontrol

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/secret"
)

// The headers of a delivery.
const (
	SignatureHeader = "Tracewall-Signature"
	DeliveryHeader  = "Tracewall-Delivery"
)

// Window is how far a signature's time may be from the receiver's clock: longer than
// clocks are apart and retries take, shorter than a recording is of use.
const Window = 5 * time.Minute

// ErrSignature means that a request does not come from who knows the secret, or not now.
var ErrSignature = errors.New("signature is not valid")

// sign returns the value of SignatureHeader: the time and a signature by each secret.
func sign(secrets []secret.Secret, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	var b strings.Builder
	b.WriteString("t=" + t)
	for _, s := range secrets {
		b.WriteString(",v1=" + hex.EncodeToString(mac(s, t, body)))
	}
	return b.String()
}

func mac(s secret.Secret, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(s.Reveal()))
	h.Write([]byte(t + "."))
	h.Write(body)
	return h.Sum(nil)
}

// maxHeader bounds what Verify looks at.
const maxHeader = 1024

// Verify tells whether header is a signature of body by any of secrets, made within
// Window of now. It compares in constant time. Its error wraps ErrSignature and says
// which of both it was. The body must be the bytes that came, not a re-encoding.
//
// It does not tell whether the request was seen before: remember DeliveryHeader, which
// is DeliveryOf(body), for twice the Window.
func Verify(secrets []secret.Secret, header string, body []byte, now time.Time) error {
	if len(header) > maxHeader {
		return fmt.Errorf("%w: header too long", ErrSignature)
	}
	var t string
	var given [][]byte
	for part := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "t":
			if t != "" {
				return fmt.Errorf("%w: two times", ErrSignature)
			}
			t = value
		case "v1":
			if sum, err := hex.DecodeString(value); err == nil {
				given = append(given, sum)
			}
		}
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return fmt.Errorf("%w: want t=UNIX,v1=HEX", ErrSignature)
	}
	good := false
	for _, s := range secrets {
		if s == "" {
			continue // anybody can sign with nothing
		}
		want := mac(s, t, body)
		for _, sum := range given {
			good = hmac.Equal(want, sum) || good
		}
	}
	if !good {
		return fmt.Errorf("%w: no v1 fits; is the secret the same on both sides, and the body unchanged?", ErrSignature)
	}
	if apart := now.Sub(time.Unix(seconds, 0)).Abs(); apart > Window {
		return fmt.Errorf("%w: made %s from now, more than %s", ErrSignature, apart.Truncate(time.Second), Window)
	}
	return nil
}

// DeliveryOf returns the value of DeliveryHeader: a UUID that is made of the body.
func DeliveryOf(body []byte) string { return uuid(sha256.Sum256(body)) }
