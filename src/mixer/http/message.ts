/** Reading the body of a call by its schema, with everything that is wrong with it in the refusal. */
import type { z } from 'zod'
import { type Answer, malformed, refusal } from './answer.ts'
import type { Call } from './route.ts'

export type Message<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly answer: Answer }

/** Of at most `maxBytes`. */
export async function readMessage<T>(
  call: Pick<Call, 'body'>,
  maxBytes: number,
  schema: z.ZodType<T>,
): Promise<Message<T>> {
  const body = await call.body(maxBytes)
  if (!body.ok) return { ok: false, answer: refusal(body.code, { detail: body.detail }) }
  const parsed = schema.safeParse(body.value)
  return parsed.success
    ? { ok: true, value: parsed.data }
    : { ok: false, answer: malformed(parsed.error.issues.map(describeIssue)) }
}

/** `records[3].calls: …`: where in the message, then what. */
export function describeIssue({ path, message }: z.core.$ZodIssue): string {
  const place = path
    .map(step => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
  return `${place === '' ? 'the body' : place.slice(1)}: ${message}`
}
