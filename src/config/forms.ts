/** Forms of values that several sections of the configuration share, each with the message for what has another form. */
import { z } from 'zod'

export const name = (): z.ZodString =>
  z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
      'must be 1 to 63 of letters, digits, ".", "_" and "-"',
    )
export const path = (): z.ZodString => z.string().min(1, 'must be a path')
export const digest = (): z.ZodString =>
  z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 lower-case hexadecimal digits')
/** Fields that the proxy reads for its own purposes and writes anew. */
const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
])

export const fieldName = (): z.ZodString =>
  z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^`|~-]{1,64}$/, 'must be the name of a header field, without "_"')
    .refine(
      field => !FRAMING_FIELDS.has(field.toLowerCase()),
      'must not be a field that frames messages or belongs to one hop',
    )
export const hostPort = (): z.ZodString =>
  z
    .string()
    .regex(
      /^(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):\d{1,5}$/,
      'must be HOST:PORT, such as 127.0.0.1:8443 or [::1]:8443',
    )
/** Bounds the labels of metrics, of the proxy and of what was billed. */
export const labelledTenants = (): z.ZodDefault<z.ZodNumber> =>
  z
    .number()
    .int()
    .min(0)
    .max(100_000)
    .default(200)
    .describe('This many tenants get their own label; the rest is summed as "_other".')
