/** How credentials are checked, for the whole service. */
import { z } from 'zod'
import { fieldName } from './forms.ts'
import { jwtIssuer } from './jwt-schema.ts'
import { spiffe } from './spiffe-schema.ts'

export const authentication = z.strictObject({
  jwt: z
    .array(jwtIssuer)
    .default([])
    .describe('Issuers of JSON Web Tokens (`Authorization: Bearer …`).'),
  apiKey: z
    .strictObject({
      header: fieldName()
        .default('x-api-key')
        .describe('Field that carries the key; `Authorization: ApiKey …` works as well.'),
      query: z
        .string()
        .regex(
          /^[A-Za-z0-9._~-]{1,64}$/,
          'must be the name of a query parameter, of letters, digits and ._~-',
        )
        .optional()
        .describe(
          'Query parameter that carries the key. Off unless named: a key in a URL ends up in logs.',
        ),
    })
    .prefault({})
    .describe('Where API keys are looked for.'),
  spiffe: spiffe
    .optional()
    .describe('SPIFFE ids: in client certificates (X.509-SVID) and bearer tokens (JWT-SVID).'),
  forwardCredentials: z
    .boolean()
    .default(false)
    .describe('Whether deployments see tokens and keys.'),
})
