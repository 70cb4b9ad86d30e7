"""What tests are made of: the cast, proofs that nothing was written, reflection over the project, races."""
