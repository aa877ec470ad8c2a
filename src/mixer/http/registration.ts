/** `POST /v1/registration`: a proxy tells whose deployments there are. */
import {
  type RegistrationAnswer,
  registrationAnswerSchema,
  registrationSchema,
} from '../../contracts/registration.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { RegisterResult, Registry } from '../registry/registry.ts'
import { type Answer, json, malformed, refusal } from './answer.ts'
import { atOnce } from './at-once.ts'
import type { PlainRoute } from './route.ts'

/** Registrations that are read and applied at once: it bounds the memory for their bodies. */
export const MAX_REGISTRATIONS_AT_ONCE = 8

export interface RegistrationDeps {
  readonly registry: Pick<Registry, 'register'>
  readonly logger: Logger
}

export function registrationRoute(deps: RegistrationDeps): PlainRoute {
  return {
    method: 'POST',
    path: '/v1/registration',
    access: 'token',
    documentation: {
      summary:
        'Tells whose deployments there are, in pages; the answer names the pages that are missing.',
      requestBody: registrationSchema,
      answer: registrationAnswerSchema,
      refusals: [
        'malformed_message',
        'payload_too_large',
        'unsupported_media_type',
        'ledger_unavailable',
      ],
    },
    handle: atOnce(MAX_REGISTRATIONS_AT_ONCE, 'registrations', async call => {
      const body = await call.body()
      return body.ok ? take(deps, body.value) : refusal(body.code, { detail: body.detail })
    }),
  }
}

async function take({ registry, logger }: RegistrationDeps, value: unknown): Promise<Answer> {
  const parsed = registrationSchema.safeParse(value)
  if (!parsed.success)
    return malformed(
      parsed.error.issues.map(issue => `${issue.path.map(String).join('.')}: ${issue.message}`),
    )
  const result = await registry.register(parsed.data)
  if (result.kind === 'unavailable') {
    logger.error({ reason: result.detail }, 'a registration cannot be kept')
    return unavailable()
  }
  return answerTo(parsed.data.proxy, result)
}

function answerTo(proxy: string, result: Exclude<RegisterResult, { kind: 'unavailable' }>): Answer {
  switch (result.kind) {
    case 'malformed':
      return malformed([result.problem])
    case 'full':
      return unavailable('there are too many proxies; those that are gone are forgotten with time')
    case 'registered':
    case 'outdated':
      return json({
        proxy,
        generation: result.generation,
        missing: [],
      } satisfies RegistrationAnswer)
    case 'missing':
      return json({
        proxy,
        generation: result.generation,
        missing: [...result.missing],
      } satisfies RegistrationAnswer)
  }
}

function unavailable(detail?: string): Answer {
  return refusal('ledger_unavailable', {
    ...(detail === undefined ? {} : { detail }),
    headers: { 'retry-after': '1' },
  })
}
