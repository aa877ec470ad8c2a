/** `GET /log-level` and `PUT /log-level`. */
import { z } from 'zod'
import { duration } from '../../config/quantities.ts'
import { LOG_LEVELS } from '../../runtime/logger.ts'
import { json, problemAnswer } from './admin-answers.ts'
import type { AdminAnswer, AdminRoute } from './admin-routing.ts'
import type { LogLevel } from './log-level.ts'

/** Whoever needs it for longer writes it into the configuration. */
const LONGEST_MS = 24 * 3_600_000
const EXPECTED = `must be JSON such as {"level":"debug","for":"10m"}; level: ${LOG_LEVELS.join(', ')}; for: up to 24h, may be left out`

const wanted = z.strictObject({
  level: z.enum(LOG_LEVELS),
  for: duration().pipe(z.number().positive().max(LONGEST_MS)).optional(),
})

export function logLevelRoutes(logLevel: Pick<LogLevel, 'state' | 'set' | 'reset'>): AdminRoute[] {
  const show = (): AdminAnswer => json(200, logLevel.state())
  return [
    { method: 'GET', path: '/log-level', answer: show },
    {
      method: 'PUT',
      path: '/log-level',
      takesBody: true,
      answer: ({ body }) => {
        const { data } = wanted.safeParse(parsed(body))
        if (data === undefined) return problemAnswer('malformed_message', EXPECTED)
        logLevel.set(data.level, data.for)
        return show()
      },
    },
    {
      method: 'DELETE',
      path: '/log-level',
      answer: () => {
        logLevel.reset()
        return show()
      },
    },
  ]
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
