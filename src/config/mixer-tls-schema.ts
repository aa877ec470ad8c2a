/** TLS at the mixer in the configuration: for proxies that report, and for deployments that show who they are. */
import { z } from 'zod'
import { path } from './forms.ts'

export const mixerTls = z.strictObject({
  cert: path().describe(
    'PEM file: the certificate of the mixer and its chain; read again when it changes.',
  ),
  key: path().describe('PEM file: its private key.'),
  clientCa: path()
    .optional()
    .describe(
      'PEM file: authorities for the certificates of workloads, which are asked for then. One that is shown must be valid.',
    ),
})

export const mixerCa = path()
  .optional()
  .describe(
    'PEM file: authorities that an https mixer is verified against; those of Node by default.',
  )
