/** Listeners in the configuration: where traffic comes in, and with which TLS. */
import { z } from 'zod'
import { hostPort, name, path } from './forms.ts'

const certificate = z.strictObject({
  cert: path().describe('PEM file: the certificate and its chain.'),
  key: path().describe('PEM file: the private key.'),
})

const listenerTls = z.strictObject({
  certificates: z
    .array(certificate)
    .min(1)
    .max(1_000)
    .describe('Chosen by SNI; the first is used where no name fits.'),
  clientCertificate: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe(
      'Whether clients are asked for a certificate. One that is shown must be valid in any case.',
    ),
  clientCa: path()
    .optional()
    .describe('PEM file: the authorities that client certificates are verified against.'),
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
