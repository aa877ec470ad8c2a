/** `POST /v1/producers`: a proxy says whose reports will come. */
import {
  type Announcement,
  type AnnouncementAnswer,
  announcementAnswerSchema,
  announcementSchema,
} from '../../contracts/producer-announcement.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { type Answer, json, refusal } from './answer.ts'
import { atOnce } from './at-once.ts'
import { readMessage } from './message.ts'
import type { PlainRoute } from './route.ts'

/** A hundred names of 128 characters, and room. */
const MAX_BYTES = 64 * 1024
export const MAX_ANNOUNCEMENTS_AT_ONCE = 32

export interface ProducersDeps {
  readonly ledger: Pick<Ledger, 'announce'>
  readonly logger: Logger
}

export function producersRoute(deps: ProducersDeps): PlainRoute {
  return {
    method: 'POST',
    path: '/v1/producers',
    access: 'token',
    documentation: {
      summary:
        'Announces the producers of a proxy: reports of others are refused. Answers what of each is durable.',
      requestBody: announcementSchema,
      answer: announcementAnswerSchema,
      refusals: [
        'malformed_message',
        'payload_too_large',
        'unsupported_media_type',
        'ledger_unavailable',
      ],
    },
    handle: atOnce(MAX_ANNOUNCEMENTS_AT_ONCE, 'announcements', async call => {
      const message = await readMessage(call, MAX_BYTES, announcementSchema)
      return message.ok ? announce(deps, message.value) : message.answer
    }),
  }
}

async function announce(
  { ledger, logger }: ProducersDeps,
  announcement: Announcement,
): Promise<Answer> {
  const { proxy, producers } = announcement
  const result = await ledger.announce(announcement)
  if (result.kind === 'unavailable') {
    logger.error({ proxy, reason: result.detail }, 'producers cannot be announced')
    return refusal('ledger_unavailable', { headers: { 'retry-after': '1' } })
  }
  logger.info({ proxy, producers }, 'producers are announced')
  return json({
    proxy,
    producers: [...result.durable].map(([producer, durable]) => ({ producer, durable })),
  } satisfies AnnouncementAnswer)
}
