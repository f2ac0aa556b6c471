#include "compiler/parse/Checker.h"
void seqmix::MixerChecker::checkDomainReads() {}
