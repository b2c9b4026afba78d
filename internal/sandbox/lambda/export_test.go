package lambda

// For the tests of package lambda_test.
var ErrTooLarge, ErrEnded = errTooLarge, errEnded
