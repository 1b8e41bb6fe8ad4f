package signtest

// Error is why a cloud would not take a request.
type Error struct {
	Code    string // as the cloud has it: "AuthFailure.SignatureFailure"
	Message string // for people, in our words
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
