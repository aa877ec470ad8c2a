/** `GET /v1/whoami`: tells a deployment whom the mixer takes it for. */
import { whoamiAnswerSchema } from '../../contracts/whoami.ts'
import { json } from './answer.ts'
import type { Route } from './route.ts'

export function whoamiRoute(): Route {
  return {
    method: 'GET',
    path: '/v1/whoami',
    access: 'source',
    documentation: {
      summary: 'Whose deployment calls, as the source of the connection shows it.',
      answer: whoamiAnswerSchema,
      refusals: [],
    },
    handle: async ({ caller: { tenant, deployment, recoveredBy } }) =>
      json({ tenant, deployment, recoveredBy }),
  }
}
