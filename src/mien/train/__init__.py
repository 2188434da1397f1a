"""Networks of one's own: trained here, or taken over from other frameworks."""
