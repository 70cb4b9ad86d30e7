"""What an organization knows: documents, the chunks they are split into, and search over these."""
