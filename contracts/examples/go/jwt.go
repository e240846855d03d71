package apostille

import (
	"context"
	"crypto/rsa"
	"errors"

	"github.com/golang-jwt/jwt/v4"
)

// ed25519Method is EdDSA under its new name (RFC 9864 section 2.2).
type ed25519Method struct{ *jwt.SigningMethodEd25519 }

func (ed25519Method) Alg() string { return "Ed25519" }

func init() {
	jwt.RegisterSigningMethod("Ed25519", func() jwt.SigningMethod {
		return ed25519Method{jwt.SigningMethodEdDSA}
	})
	// golang-jwt takes a salt of any length; RFC 7518 section 3.5 names one.
	salted := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	strict := *jwt.SigningMethodPS256
	strict.VerifyOptions = salted
	jwt.RegisterSigningMethod("PS256", func() jwt.SigningMethod { return &strict })
}

// WithJWT verifies signatures with github.com/golang-jwt/jwt.
func WithJWT(_ context.Context, token string, key Key, config *Config) error {
	parser := jwt.NewParser(
		jwt.WithValidMethods(config.Algorithms),
		// The library looks at exp and nbf before the signature, and knows no
		// leeway; claims.go looks at them, and at the others, after it.
		jwt.WithoutClaimsValidation(),
	)
	_, err := parser.Parse(token, func(*jwt.Token) (interface{}, error) { return key.Public, nil })
	var refusal *jwt.ValidationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && refusal.Errors&jwt.ValidationErrorMalformed != 0:
		return invalid("malformed_token")
	default:
		return invalid("bad_signature")
	}
}
