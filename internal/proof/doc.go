// Package proof is the room of what proves the record: the Merkle tree over its events
// (merkle), signed checkpoints (checkpoint), the signer of them (signer), their copy
// outside (archive), the receipt of one delivery (receipt) and the check of the whole
// system (verify). It has no code of its own.
package proof
