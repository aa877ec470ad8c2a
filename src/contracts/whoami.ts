/** Answer of `GET /v1/whoami`, version 1: whom the mixer takes a caller for. */
import { z } from 'zod'

export const whoamiAnswerSchema = z.strictObject({
  tenant: z.string(),
  deployment: z.string().describe('`service/tenant`'),
  recoveredBy: z
    .enum(['certificate', 'address', 'process'])
    .describe('The evidence: what the connection shows, never what the call says.'),
})
export type WhoamiAnswer = Readonly<z.output<typeof whoamiAnswerSchema>>
