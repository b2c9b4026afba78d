package sandbox

// refusal is an answer of API Gateway's own.
type refusal struct {
	status  int
	errType string
	message string
}

func newRefusal(status int, errType, message string) refusal {
	return refusal{status, errType, message}
}

func (e refusal) Error() string { return e.message }
