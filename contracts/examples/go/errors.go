package apostille

import "errors"

// ErrKeysUnavailable says that the issuer could not be asked (503). Asking again
// may help; it says nothing of the token.
var ErrKeysUnavailable = errors.New("apostille: the issuer's keys are unavailable")

// InvalidToken says that a token must not be accepted (401). Asking again cannot
// help. Nothing of the token is in it.
type InvalidToken struct {
	Code  string // of ProblemCode, such as "expired_token"
	Claim string // with "invalid_claim": the claim of contract v1 at fault
}

func (e *InvalidToken) Error() string { return "apostille: the access token is refused: " + e.Code }

func invalid(code string) error { return &InvalidToken{Code: code} }
