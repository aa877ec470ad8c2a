/** How a proxy ends: what balancers, resting connections and tunnels are given before it does. */
import { z } from 'zod'
import { duration, offOr } from './quantities.ts'

export const drain = z.strictObject({
  grace: offOr(duration())
    .default(0)
    .describe(
      'How long `/readyz` says 503 before the listeners close, so that balancers look elsewhere by then; or off.',
    ),
  idle: duration()
    .prefault('1s')
    .describe(
      'How long a connection of HTTP/1.1 that rests is kept for one more call, whose answer says `connection: close`.',
    ),
  tunnels: duration()
    .optional()
    .describe('How long tunnels and WebSockets have to end; as long as calls by default.'),
})
