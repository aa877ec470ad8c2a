/** The admin server in the configuration: where it listens, and what opens it. */
import { z } from 'zod'

/** Before the path of a unix socket, as `admin.address` writes it. */
const UNIX = 'unix:'

const adminAddress = z
  .string()
  .regex(
    /^(unix:[^\0]+|(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):\d{1,5})$/,
    'must be HOST:PORT, such as 127.0.0.1:9901 or [::1]:9901, or unix:PATH',
  )

export const admin = z.strictObject({
  address: adminAddress
    .default('127.0.0.1:9901')
    .describe(
      'Where the admin server listens: HOST:PORT, or `unix:PATH` for a socket that only this user may open.',
    ),
  token: z
    .string()
    .regex(
      /^[\x21-\x7e]{16,}$/,
      'must have at least 16 characters, and no blanks: it is sent as a bearer token',
    )
    .optional()
    .describe(
      'Demanded as `authorization: Bearer …` of every call but `/livez` and `/readyz`; needed where the address is neither loopback nor a unix socket.',
    ),
})

/** The path of a unix socket; undefined for an address and a port. */
export function socketPathOf(address: string): string | undefined {
  return address.startsWith(UNIX) ? address.slice(UNIX.length) : undefined
}

/** The same address with what `change` makes of the path of a unix socket. */
export function withSocketPath(address: string, change: (path: string) => string): string {
  const path = socketPathOf(address)
  return path === undefined ? address : `${UNIX}${change(path)}`
}
