package wire

// Refusal is an error response in the words of AWS.
type Refusal struct {
	Status  int
	Type    string
	Message string
}

// NewRefusal makes a Refusal.
func NewRefusal(status int, errType, message string) Refusal {
	return Refusal{status, errType, message}
}

func (e Refusal) Error() string { return e.Message }
