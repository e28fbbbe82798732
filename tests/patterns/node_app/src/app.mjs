export const handler = async (event) => {
  for (const record of event.Records) {
    process.stdout.write(`${JSON.stringify({ data: Buffer.from(record.kinesis.data, "base64").toString() })}\n`);
  }
};
