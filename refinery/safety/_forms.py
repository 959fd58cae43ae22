"""Forms of keys and tokens that tell what they are: one table for `redact` and for the guard.

Patterns use only what RE2 has too: no look-around, repeats up to 1,000. Standard library only.
Prefixes and lengths are those the issuers publish or print.
"""

TOKENS: dict[str, str] = {
    "anthropic_key": r"\bsk-ant-[A-Za-z0-9_-]{16,200}",
    "langsmith_key": r"\bls(?:v2)?_(?:pt|sk|_)_?[A-Za-z0-9_]{16,100}",
    "openai_key": r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,300}",
    "stripe_key": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,200}",
    "aws_key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "google_key": r"\bAIza[A-Za-z0-9_-]{35}",
    "google_token": r"\bya29\.[A-Za-z0-9_-]{20,500}",
    "github_token": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})",
    "gitlab_token": r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat)-[A-Za-z0-9_-]{20,100}",
    "slack_token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}|\bxapp-[A-Za-z0-9-]{10,250}",
    "huggingface_token": r"\bhf_[A-Za-z0-9]{30,100}",
    "npm_token": r"\bnpm_[A-Za-z0-9]{36}",
    "pypi_token": r"\bpypi-AgE[A-Za-z0-9_-]{40,400}",
    "sendgrid_key": r"\bSG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,80}",
    "twilio_key": r"\b(?:SK|AC)[0-9a-f]{32}\b",
    "groq_key": r"\bgsk_[A-Za-z0-9]{40,80}",
    "xai_key": r"\bxai-[A-Za-z0-9]{40,120}",
    "perplexity_key": r"\bpplx-[A-Za-z0-9]{40,80}",
    "replicate_token": r"\br8_[A-Za-z0-9]{30,60}",
    "telegram_token": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
    "digitalocean_token": r"\bdo[opr]_v1_[0-9a-f]{64}\b",
    "databricks_token": r"\bdapi[0-9a-f]{32}\b",
    "shopify_token": r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b",
    "jwt": r"\beyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]{4,1000}\.[A-Za-z0-9_-]{10,1000}",
}
"""Pattern of each kind; the whole match is the secret."""
