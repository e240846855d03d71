"""What operators and machines ask: health, the public documents, the API's description."""
