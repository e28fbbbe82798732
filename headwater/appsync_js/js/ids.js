// Identifiers, numbers and the authorization mode.
(rt) => {
  "use strict";
  const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const KSUID_EPOCH_S = 1400000000;
  const KSUID_LENGTH = 27;

  const hex = (bytes) => bytes.map((byte) => (byte < 16 ? "0" : "") + byte.toString(16)).join("");

  rt.util.autoId = () => {
    const bytes = rt.randomBytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const text = hex(bytes);
    return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
  };

  rt.util.autoUlid = () => {
    let time = Math.floor(rt.now);
    let text = "";
    for (let i = 0; i < 10; i++) {
      text = CROCKFORD[time % 32] + text;
      time = Math.floor(time / 32);
    }
    for (const byte of rt.randomBytes(16)) {
      text += CROCKFORD[byte & 31];
    }
    return text;
  };

  rt.util.autoKsuid = () => {
    const seconds = Math.floor(rt.now / 1000) - KSUID_EPOCH_S;
    const payload = [(seconds >>> 24) & 255, (seconds >>> 16) & 255, (seconds >>> 8) & 255, seconds & 255];
    let number = payload.concat(rt.randomBytes(16));
    let text = "";
    while (text.length < KSUID_LENGTH) {
      let remainder = 0;
      number = number.map((byte) => {
        const value = remainder * 256 + byte;
        remainder = value % 62;
        return Math.floor(value / 62);
      });
      text = BASE62[remainder] + text;
    }
    return text;
  };

  rt.util.math = {
    // Java's Math.round: half goes up, also below zero.
    roundNum: (value) => Math.floor(Number(value) + 0.5),
    minVal: (left, right) => Math.min(left, right),
    maxVal: (left, right) => Math.max(left, right),
    randomDouble: () => rt.randomDouble(),
    randomWithinRange: (start, end) => Math.floor(rt.randomDouble() * (end - start)) + start,
  };

  // The mode is read back from the shape of ctx.identity: all its keys belong to the mode, and the required ones
  // are not null. Anything else counts as an API key.
  const MODES = [
    [
      "IAM Authorization",
      ["accountId", "sourceIp", "username", "userArn"],
      ["cognitoIdentityPoolId", "cognitoIdentityId", "cognitoIdentityAuthType", "cognitoIdentityAuthProvider"],
    ],
    ["User Pool Authorization", ["sourceIp", "username", "sub", "issuer", "claims", "defaultAuthStrategy"], ["groups"]],
    ["Open ID Connect Authorization", ["sub", "issuer", "claims"], []],
    ["Lambda Authorization", [], ["resolverContext", "handlerContext"]],
  ];
  rt.util.authType = () => {
    const { identity } = rt;
    if (rt.isMap(identity)) {
      const keys = Object.keys(identity);
      for (const [name, required, optional] of MODES) {
        const isComplete = required.every((key) => identity[key] !== null && identity[key] !== undefined);
        if (isComplete && keys.every((key) => required.includes(key) || optional.includes(key))) {
          return name;
        }
      }
    }
    return "API Key Authorization";
  };
};
