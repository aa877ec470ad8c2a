/** Listeners in the configuration: where traffic comes in, and with which TLS. */
import { z } from 'zod'
import { hostPort, name, path } from './forms.ts'
import { duration } from './quantities.ts'

const certificate = z.strictObject({
  cert: path().describe('PEM file: the certificate and its chain.'),
  key: path().describe('PEM file: the private key.'),
})

/** Sessions of TLS 1.3 may be resumed for seven days at most (RFC 8446, 4.6.1). */
const LONGEST_ROTATION_MS = 7 * 86_400_000

const tickets = z.strictObject({
  rotate: duration()
    .refine(ms => ms >= 1_000 && ms <= LONGEST_ROTATION_MS, 'must be from 1s to 7d')
    .prefault('12h')
    .describe(
      'How often their key changes. A ticket is taken until the key after its own has gone, so for at most twice as long.',
    ),
})

const listenerTls = z.strictObject({
  certificates: z
    .array(certificate)
    .min(1)
    .max(1_000)
    .describe(
      'Chosen by SNI; the first is used where no name fits. Two for one name, ECDSA and RSA, serve each client with what it takes.',
    ),
  clientCertificate: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe(
      'Whether clients are asked for a certificate. One that is shown must be valid in any case.',
    ),
  clientCa: z
    .union([path().transform(file => [file]), z.array(path()).min(1).max(1_000)], {
      error: 'must be a path or a list of 1 to 1000 paths',
    })
    .optional()
    .describe(
      'PEM file or files: the authorities that client certificates are verified against, roots or intermediate ones.',
    ),
  crl: z
    .array(path())
    .max(1_000)
    .default([])
    .describe(
      'PEM or DER files: certificates that were revoked. Each authority of a chain must have a list here that has not expired, else its certificates are refused.',
    ),
  tickets: z
    .union([z.literal('off'), tickets], {
      error: 'must be off, or a map with rotate: and a duration from 1s to 7d',
    })
    .prefault({})
    .describe('Session tickets: a client that comes back needs no full handshake. `off` for none.'),
  maxHandshakes: z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(2_000)
    .describe('TLS handshakes at once in a worker; a connection beyond is closed at once.'),
  expiryWarning: duration()
    .prefault('14d')
    .describe(
      'How long before a certificate, an authority or a revocation list expires the log begins to say so.',
    ),
})

const listenerCommon = {
  name: name().describe('Name of the listener, in logs, metrics and usage records.'),
  protocol: z
    .enum(['auto', 'http', 'tcp'])
    .default('auto')
    .describe('`auto` finds out from the first bytes; nothing within `timeouts.detect` means TCP.'),
  tls: listenerTls.optional().describe('TLS is terminated here. Without it the listener is plain.'),
  proxyProtocol: z
    .enum(['off', 'required'])
    .default('off')
    .describe(
      '`required`: each connection must begin with a PROXY protocol header (v1 or v2), and come from one of `trustedProxies`. Never guessed.',
    ),
}

const sharedListener = z.strictObject({
  ...listenerCommon,
  mode: z
    .literal('shared')
    .describe(
      'All tenants behind one address: a certificate, a credential or a name says whose traffic it is.',
    ),
  address: hostPort().describe('Address and port to listen on.'),
})

const privateListener = z.strictObject({
  ...listenerCommon,
  mode: z
    .literal('private')
    .describe('One address a tenant: the address at which traffic arrives says whose it is.'),
  port: z
    .number()
    .int()
    .min(0)
    .max(65_535)
    .describe('Port, on the address of every tenant that has one.'),
  bind: z
    .enum(['each', 'wildcard'])
    .default('each')
    .describe(
      '`each`: a socket a tenant address. `wildcard`: one socket for all addresses of the machine, for very many tenants.',
    ),
})

/** One listener. */
export const listenerSchema = z.discriminatedUnion('mode', [sharedListener, privateListener])
