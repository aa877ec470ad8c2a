/** The body of every refusal, RFC 9457: what `problem()` of the error table writes and callers may read. */
import { z } from 'zod'

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

/** Loose on purpose: RFC 9457 §3.2 lets a problem carry more members, which a reader must ignore. */
export const problemSchema = z.looseObject({
  type: z.string().describe('`about:amt/` and one of the error codes.'),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().optional(),
  problems: z
    .array(z.string())
    .optional()
    .describe('Everything that is wrong with the message, each with its place in it.'),
  expected: z
    .number()
    .int()
    .optional()
    .describe('With `report_gap`: the sequence that must come next.'),
})
export type Problem = z.infer<typeof problemSchema>

/** The error code in a problem's type, or undefined where it is none of ours. */
export function problemCode(problem: Problem): string | undefined {
  return /^about:amt\/([a-z0-9_]{1,64})$/.exec(problem.type)?.[1]
}
