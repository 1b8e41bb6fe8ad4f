package riskcontrol_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/secret"
)

// told returns a delivery's body and signature as the receiver sees them.
func told(t *testing.T, secrets ...secret.Secret) (body []byte, signature string) {
	t.Helper()
	w := newWorld()
	r := w.receiver()
	r.secret = secrets[0].Reveal()
	if _, err := w.notifier(t, r, secrets...).Send(t.Context(), []riskcontrol.Event{campaign("1")}); err != nil {
		t.Fatal(err)
	}
	return r.bodies[0], r.signatures[0]
}

func hmacOf(key, at string, body []byte) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(at + "." + string(body)))
	return hex.EncodeToString(h.Sum(nil))
}

func TestASignatureIsOfTheBodyTheTimeAndTheSecret(t *testing.T) {
	body, signature := told(t, oldSecret)
	at, v1, _ := strings.Cut(signature, ",")
	for _, c := range []struct {
		name, header string
		body         []byte
		secrets      []secret.Secret
		now          time.Time
		good         bool
	}{
		{"as it came", signature, body, []secret.Secret{oldSecret}, now, true},
		{"within the window", signature, body, []secret.Secret{oldSecret}, now.Add(riskcontrol.Window), true},
		{"before its time, within the window", signature, body, []secret.Secret{oldSecret}, now.Add(-riskcontrol.Window), true},
		{"one of two secrets", signature, body, []secret.Secret{newSecret, oldSecret}, now, true},
		{"blanks and other versions beside it", at + ", v0=abc, " + v1 + ",v2=x", body, []secret.Secret{oldSecret}, now, true},
		{"too late", signature, body, []secret.Secret{oldSecret}, now.Add(riskcontrol.Window + time.Second), false},
		{"too early", signature, body, []secret.Secret{oldSecret}, now.Add(-riskcontrol.Window - time.Second), false},
		{"another body", signature, append([]byte(" "), body...), []secret.Secret{oldSecret}, now, false},
		{"another secret", signature, body, []secret.Secret{newSecret}, now, false},
		{"no secret", signature, body, nil, now, false},
		{"an empty secret", signature, body, []secret.Secret{""}, now, false},
		{"an empty secret, and a signature made with it", at + ",v1=" + hmacOf("", at[2:], body), body, []secret.Secret{""}, now, false},
		{"another time", fmt.Sprintf("t=%d,%s", now.Unix()+1, v1), body, []secret.Secret{oldSecret}, now, false},
		{"the same time spelt otherwise", "t=0" + at[2:] + "," + v1, body, []secret.Secret{oldSecret}, now, false},
		{"two times", at + "," + at + "," + v1, body, []secret.Secret{oldSecret}, now, false},
		{"no time", v1, body, []secret.Secret{oldSecret}, now, false},
		{"no signature", at, body, []secret.Secret{oldSecret}, now, false},
		{"a part of the signature", signature[:len(signature)-2], body, []secret.Secret{oldSecret}, now, false},
		{"nothing", "", body, []secret.Secret{oldSecret}, now, false},
		{"a novel", strings.Repeat("v1=00,", 1000) + signature, body, []secret.Secret{oldSecret}, now, false},
	} {
		err := riskcontrol.Verify(c.secrets, c.header, c.body, c.now)
		if (err == nil) != c.good || err != nil && !errors.Is(err, riskcontrol.ErrSignature) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got := riskcontrol.DeliveryOf(body); len(got) != 36 || got == riskcontrol.DeliveryOf(body[1:]) {
		t.Errorf("the delivery is %q", got)
	}
}

// TestASecretIsChangedWithoutAGap walks through the three steps of ParseSecrets.
func TestASecretIsChangedWithoutAGap(t *testing.T) {
	for _, step := range []struct {
		name     string
		sender   []secret.Secret
		receiver secret.Secret
	}{
		{"before", []secret.Secret{oldSecret}, oldSecret},
		{"the sender has both", []secret.Secret{oldSecret, newSecret}, oldSecret},
		{"the receiver has the new one", []secret.Secret{oldSecret, newSecret}, newSecret},
		{"the old one is gone", []secret.Secret{newSecret}, newSecret},
	} {
		body, signature := told(t, step.sender...)
		if err := riskcontrol.Verify([]secret.Secret{step.receiver}, signature, body, now); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// FuzzVerify: no header makes it panic, and none but the true one is taken.
func FuzzVerify(f *testing.F) {
	f.Add("t=1795168800,v1=00", []byte("{}"))
	f.Add("t=,v1=", []byte(""))
	f.Add("t=-1,v1=zz,v1=00", []byte("x"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if riskcontrol.Verify([]secret.Secret{oldSecret}, header, body, now) == nil {
			t.Fatal("a signature was guessed")
		}
	})
}

// A receiver in Go. In another language it is the same five steps; see the package comment.
func ExampleVerify() {
	secrets := []secret.Secret{"0123456789abcdef0123456789abcdef"} // from its own settings
	receive := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, riskcontrol.MaxBody))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := riskcontrol.Verify(secrets, r.Header.Get(riskcontrol.SignatureHeader), body, time.Now()); err != nil {
			http.Error(w, "signature", http.StatusUnauthorized)
			return
		}
		// Here: look whether riskcontrol.DeliveryOf(body) was seen within ten minutes, then
		// store what the events say, and only then answer.
		w.WriteHeader(http.StatusNoContent)
	}
	w := httptest.NewRecorder()
	forged := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"version":1}`))
	forged.Header.Set(riskcontrol.SignatureHeader, "t=1795168800,v1=00")
	receive(w, forged)
	fmt.Println(w.Code)
	// Output: 401
}
