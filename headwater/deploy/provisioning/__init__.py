"""Fleet provisioning: devices exchange a claim for a certificate of their own and are registered by a template."""
