module apostille.example/apostille

go 1.19

require (
	github.com/coreos/go-oidc v2.1.0+incompatible
	github.com/golang-jwt/jwt/v4 v4.4.3
	gopkg.in/square/go-jose.v2 v2.6.0
)
